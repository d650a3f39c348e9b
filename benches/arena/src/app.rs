//! The routes of all profiles, and what each shard has for them.

use std::fmt;
use std::path::PathBuf;

use corelane::postgres::{ConnectError, PostgresOptions, SqlDatabase};
use corelane::static_files::{self, StaticFiles, StaticOptions};
use corelane::{App, Error};

use crate::json::Dataset;
use crate::settings::Settings;
use crate::{crud, json, range, sums, upload};

/// Statements that one connection has under way at a time. PostgreSQL runs
/// them one after the other, on one core: fewer spread over more connections.
const IN_FLIGHT_PER_CONNECTION: u32 = 4;

/// Why the application cannot be built.
#[derive(Debug)]
pub enum SetupError {
    /// The dataset cannot be read; why.
    Dataset(PathBuf, String),
    /// The database's address or certificates cannot be used.
    Database(ConnectError),
}

/// The application that these settings describe.
///
/// # Errors
/// [`SetupError`]. That PostgreSQL does not answer is none: it is asked when a
/// request needs it.
pub fn build(settings: &Settings) -> Result<App, SetupError> {
    let dataset = Dataset::read(&settings.dataset)
        .map_err(|why| SetupError::Dataset(settings.dataset.clone(), why))?;
    let mut app = App::new()
        .get("/pipeline", sums::pipeline)
        .get("/baseline11", sums::of_query)
        .route(sums::post())
        .route(upload::route())
        .nest("/json", json::app(dataset))
        .get("/async-db", range::items)
        .nest("/crud", crud::app());
    if let Some(url) = &settings.database_url {
        let database = database(url, settings.database_connections_max);
        app = with_database(app, database.map_err(SetupError::Database)?);
    }
    if let Some(root) = &settings.static_dir {
        app = with_files(app, root.clone());
    }
    Ok(app)
}

fn database(url: &str, connections_max: u32) -> Result<SqlDatabase, ConnectError> {
    let options = PostgresOptions {
        connections_max,
        // A shard may have all that the others leave.
        pool_max: connections_max,
        in_flight_per_connection_max: IN_FLIGHT_PER_CONNECTION,
        ..PostgresOptions::default()
    };
    SqlDatabase::new(&url.parse()?, &options)
}

fn with_database(app: App, database: SqlDatabase) -> App {
    app.state(move |_shard| {
        let database = database.clone();
        async move { Ok(database.connect()?) }
    })
}

/// Files with their `.br` and `.gz` beside them, as the library serves them.
fn with_files(app: App, root: PathBuf) -> App {
    let options = StaticOptions {
        root,
        ..StaticOptions::default()
    };
    app.state(move |_shard| {
        let options = options.clone();
        async move { StaticFiles::new(options).map_err(Error::from) }
    })
    .get("/static/{*path}", static_files::serve)
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(path, why) => write!(
                f,
                "the dataset {} cannot be used ({why}): give a JSON array of items with DATASET_FILE",
                path.display()
            ),
            Self::Database(error) => write!(f, "DATABASE_URL cannot be used: {error}"),
        }
    }
}

impl std::error::Error for SetupError {}
