//! actix-web 4 as its users write it: routes, extractors, its own middleware
//! for gzip, actix-files; a worker per core behind one accept thread.
//!
//! Fair: workers pinned to their cores, NODELAY, users as shared bytes with a
//! header value made at start, JSON serialised for each request and compressed
//! at level 1. Unfair to corelane: no cache, limits, metrics or log. Unfair to
//! actix-web: its accept thread shares the cores of the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::KeepAlive;
use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{Compress, DefaultHeaders};
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder};
use contract::{Item, ItemsBody, Start};

const SERVER: (header::HeaderName, HeaderValue) =
    (header::SERVER, HeaderValue::from_static("actix-web"));

/// What the workers read.
struct World {
    users: Vec<(Bytes, HeaderValue)>,
    items: Vec<Item>,
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let start = Start::from_environment();
    contract::confine(&start.cores);
    let users = start.users();
    let users = users.iter().map(|user| {
        let etag = HeaderValue::from_str(&user.etag).expect("an ETag is a header value");
        (Bytes::from(user.body.clone()), etag)
    });
    let world = Data::new(World {
        users: users.collect(),
        items: start.items(),
    });
    let (cores, static_dir) = (start.cores.clone(), start.static_dir.clone());
    let workers = Arc::new(AtomicUsize::new(0));
    let server = HttpServer::new(move || {
        // Each worker makes its own application, on its own thread.
        let index = workers.fetch_add(1, Ordering::Relaxed);
        contract::pin(cores[index % cores.len()]);
        let static_dir = static_dir.clone();
        let routes = move |config: &mut ServiceConfig| {
            config
                .route("/constant", web::get().to(constant))
                .route("/api/users/{id}", web::get().to(user))
                .service(
                    web::resource("/json/{count}")
                        .wrap(Compress::default())
                        .get(json),
                );
            if let Some(folder) = static_dir {
                // Blocks its worker for small files, reads large ones on its pool.
                config.service(actix_files::Files::new("/static", folder));
            }
        };
        App::new()
            .app_data(world.clone())
            .wrap(DefaultHeaders::new().add(SERVER))
            .configure(routes)
            .default_service(web::to(not_found))
    });
    let server = server
        .workers(start.cores.len())
        .tcp_nodelay(true)
        .backlog(4096)
        .shutdown_timeout(1)
        // Its default ends idle connections after 5 s, which no other rival does.
        .keep_alive(KeepAlive::Os)
        .bind(start.address)?;
    start.say_listening();
    server.run().await
}

async fn constant() -> impl Responder {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("Hello, World!")
}

async fn not_found() -> impl Responder {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body("not found")
}

async fn user(id: Path<String>, request: HttpRequest, world: Data<World>) -> HttpResponse {
    let index = id.parse::<usize>().ok().and_then(|id| id.checked_sub(1));
    let Some((body, etag)) = index.and_then(|index| world.users.get(index)) else {
        return HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .body("not found");
    };
    let known = request.headers().get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| names(known, etag)) {
        return HttpResponse::NotModified()
            .insert_header((header::ETAG, etag.clone()))
            .finish();
    }
    HttpResponse::Ok()
        .insert_header((
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ))
        .insert_header((header::ETAG, etag.clone()))
        .body(body.clone())
}

/// Whether If-None-Match has this ETag, compared weakly.
fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    known.as_bytes().split(|byte| *byte == b',').any(|known| {
        let known = known.trim_ascii();
        known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag.as_bytes()
    })
}

async fn json(count: Path<usize>, world: Data<World>) -> impl Responder {
    HttpResponse::Ok().json(ItemsBody::first(&world.items, *count))
}
