//! What a first start makes: the data folder, the database with demo data, the
//! default static folder with a demo page. Nothing that is there is touched.

use std::io::{ErrorKind, Write};
use std::path::Path;

use super::console::Console;
use super::failure::Failure;
use super::seed;
use crate::config::Config;
use crate::store::{Database, SeedPlan};

/// Makes the data folder and, where it is the default one inside it, the
/// static folder.
pub(super) fn make_folders(config: &Config) -> Result<(), Failure> {
    make_folder(&config.data_dir, "--data")?;
    let root = &config.static_files.root;
    if makes_static(config) && !root.exists() {
        make_folder(root, "--static")?;
        if !config.no_demo {
            write_demo_page(root)?;
        }
    }
    Ok(())
}

/// Whether the static folder is one inside the data folder, and ours to make.
pub(super) fn makes_static(config: &Config) -> bool {
    config.static_files.root.starts_with(&config.data_dir)
}

/// Fills an empty store, unless the operator wants it empty.
pub(super) fn fill(config: &Config, database: &Database, console: &Console) -> Result<(), Failure> {
    if config.no_demo {
        return Ok(());
    }
    let is_empty = database.is_empty().map_err(|error| {
        Failure::runtime(
            format!("the store cannot be read: {error}"),
            "check that it can be reached and read, or name another with --store",
        )
    })?;
    // Asked again when it is filled: another process may be doing so.
    if is_empty && let Some(report) = seed::fill_if_empty(database, &SeedPlan::default(), console)?
    {
        console.say(format!(
            "first start: added {} demo users and {} posts (--no-demo leaves a store empty)",
            report.users, report.posts
        ));
    }
    Ok(())
}

fn make_folder(path: &Path, flag: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        Failure::runtime(
            format!("cannot make the folder {}: {error}", path.display()),
            format!("make it yourself, writable by this user, or name another with {flag} DIR"),
        )
    })
}

fn write_demo_page(root: &Path) -> Result<(), Failure> {
    for (name, text) in DEMO_FILES {
        let path = root.join(name);
        let written =
            std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
        match written {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Failure::runtime(
                    format!("cannot write {}: {error}", path.display()),
                    "free space or right its permissions, or start with --no-demo",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

const DEMO_FILES: &[(&str, &str)] = &[
    ("index.html", include_str!("demo/index.html")),
    ("corelane.css", include_str!("demo/corelane.css")),
];
