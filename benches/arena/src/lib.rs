//! HttpArena's HTTP/1.1 profiles, written on corelane's public API as any
//! application would be: nothing in here is known to the library.
//!
//! `settings` reads the environment, `app` puts the routes together; each of
//! the others is one profile, `items` what those with a database share.

mod app;
mod crud;
mod items;
mod json;
mod range;
mod settings;
mod sums;
mod upload;

pub use app::{SetupError, build};
pub use settings::{Settings, SettingsError};
