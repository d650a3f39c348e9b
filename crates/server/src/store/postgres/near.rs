//! Nearest users, by the order of the index and measured here.
//!
//! The index orders by the straight line through the Earth, which orders as
//! the great circle does but for rounding. So a few more rows are asked for
//! than wanted, and when the last of them is not clearly farther than what is
//! answered, many more: ties go by id, whatever the order of the index.

use super::groups::USERS;
use super::queries::Query;
use super::rows::user_from;
use super::statements::RunsQueries;
use crate::store::geo::distance_km;
use crate::store::limits::STORE_NEAR_CROWD_ROWS_MAX;
use crate::store::{Location, StoreError, User};
use corelane::postgres::{Intent, Pool};

/// At most `limit` users within `radius_km`, nearest first, with km.
pub(super) async fn users_near(
    pool: &Pool,
    center: Location,
    radius_km: f64,
    limit: u32,
) -> Result<Vec<(User, f64)>, StoreError> {
    let limit = limit as usize;
    if limit == 0 || radius_km < 0.0 || radius_km.is_nan() {
        return Ok(Vec::new());
    }
    let rows_most = limit + STORE_NEAR_CROWD_ROWS_MAX;
    let mut rows_max = limit + ROWS_BEYOND;
    loop {
        let mut found = nearest(pool, center, rows_max).await?;
        let farthest_km = found.last().map_or(0.0, |(_, km)| *km);
        let is_all = found.len() < rows_max;
        found.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.id.cmp(&b.0.id)));
        found.truncate(limit);
        let needed_km = match found.last() {
            Some((_, km)) if found.len() == limit => km.min(radius_km),
            _ => radius_km,
        };
        if is_all || farthest_km - ROUNDING_KM > needed_km || rows_max >= rows_most {
            found.retain(|(_, km)| *km <= radius_km);
            return Ok(found);
        }
        rows_max = rows_max.saturating_mul(ROWS_GROWTH).min(rows_most);
    }
}

/// Rows asked for beyond those wanted, so that ties seldom need a second ask.
const ROWS_BEYOND: usize = 8;
/// A crowd is asked for in steps.
const ROWS_GROWTH: usize = 8;
/// Distances are exact to far better than this; it bounds by how much the
/// order of the index may differ, which is most on the other side of the
/// Earth.
const ROUNDING_KM: f64 = 0.001;

async fn nearest(
    pool: &Pool,
    center: Location,
    rows_max: usize,
) -> Result<Vec<(User, f64)>, StoreError> {
    let rows_max = rows_max as i64;
    pool.shared_in(USERS, Intent::Read, async |connection| {
        let rows = connection
            .query(Query::Nearest, &[&center.lat, &center.lon, &rows_max])
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let user = user_from(row)?;
            if let Some(place) = user.location {
                let km = distance_km(center, place);
                found.push((user, km));
            }
        }
        Ok(found)
    })
    .await
    .map_err(StoreError::from)
}
