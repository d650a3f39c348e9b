//! Profiles baseline, limited-conn and pipelined: sums of numbers in the query
//! and the body, and a constant.

use corelane::error::FieldError;
use corelane::{Ctx, Error, Response, Route};
use http::Method;
use serde::Deserialize;

/// A body is one number; longer ones are no numbers that fit.
const NUMBER_BYTES_MAX: u64 = 64;

#[derive(Deserialize)]
struct Summands {
    a: i64,
    b: i64,
}

/// `GET /pipeline`.
pub(crate) async fn pipeline(_ctx: Ctx) -> Result<Response, Error> {
    Ok(Response::text("ok"))
}

/// `GET /baseline11?a=1&b=2`: the sum.
pub(crate) async fn of_query(ctx: Ctx) -> Result<Response, Error> {
    answer(&ctx.query()?, 0)
}

/// `POST /baseline11?a=1&b=2` with a number as its body: the sum of all three.
pub(crate) fn post() -> Route {
    Route::new(Method::POST, "/baseline11", of_query_and_body).body_bytes_max(NUMBER_BYTES_MAX)
}

async fn of_query_and_body(mut ctx: Ctx) -> Result<Response, Error> {
    let summands: Summands = ctx.query()?;
    let body = ctx.bytes().await?;
    let number = std::str::from_utf8(&body).ok();
    let number = number.and_then(|text| text.trim().parse().ok());
    let number = number.ok_or_else(|| invalid("body", "a whole number of 64 bits"))?;
    answer(&summands, number)
}

fn answer(Summands { a, b }: &Summands, more: i64) -> Result<Response, Error> {
    let sum = a.checked_add(*b).and_then(|sum| sum.checked_add(more));
    let sum = sum.ok_or_else(|| invalid("query", "numbers whose sum fits 64 bits"))?;
    Ok(Response::text(sum.to_string()))
}

fn invalid(field: &str, wanted: &str) -> Error {
    Error::validation(vec![FieldError::new(field, wanted)])
}
