//! `corelane password EMAIL`: sets a user's password, read from stdin. On a
//! terminal it is asked for twice and not shown; else it is the first line, so
//! that a secret store can pipe it in. Never an argument: `ps` shows those.

use std::io::{BufRead, IsTerminal, Read};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::args::PasswordArgs;
use super::failure::Failure;
use super::settings;
use crate::store::{Database, StoreError};
use corelane::internals::limits::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use corelane::password::{self, SALT_BYTES};

pub(super) fn run(args: &PasswordArgs) -> Result<(), Failure> {
    let config = settings::load(&args.store.sources())?.config;
    let password = read_password()?;
    check(&password)?;
    let database = Database::open(&config.store)
        .map_err(|error| Failure::with_cure_inside("the store cannot be opened", error))?;
    let set = database.set_password(&args.email, &hash(&password)?);
    database.close();
    match set {
        Ok(()) => {
            eprintln!("the password of {} is set", args.email);
            Ok(())
        }
        Err(StoreError::NotFound) => Err(Failure::usage(
            format!("no user has the email {}", args.email),
            "make the user first, by POST /api/users, or name another store with --store",
        )),
        Err(error) => Err(Failure::runtime(
            format!("the password could not be set: {error}"),
            "see the reason above; nothing was changed",
        )),
    }
}

fn check(password: &str) -> Result<(), Failure> {
    let cure =
        format!("give {PASSWORD_CHARS_MIN} characters or more, {PASSWORD_BYTES_MAX} bytes at most");
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Failure::usage("the password is too short", cure));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::usage("the password is too long", cure));
    }
    Ok(())
}

fn hash(password: &str) -> Result<String, Failure> {
    let mut salt = [0; SALT_BYTES];
    let filled = getrandom::fill(&mut salt).map_err(|error| error.to_string());
    let hashed = filled.and_then(|()| {
        let hashed = password::hash(password.as_bytes(), salt);
        hashed.map_err(|error| error.to_string())
    });
    hashed.map_err(|error| Failure::runtime(error, "give this machine more memory"))
}

fn read_password() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return read_line();
    }
    let first = read_hidden("password: ")?;
    let second = read_hidden("again: ")?;
    if first != second {
        return Err(Failure::usage(
            "the two are not the same",
            "type the same password twice",
        ));
    }
    Ok(first)
}

/// The next line without its end; an empty one if there is none.
fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    // A byte more than the longest, so that one that is too long is seen.
    let limit = PASSWORD_BYTES_MAX as u64 + 2;
    let read = std::io::stdin().lock().take(limit).read_line(&mut line);
    read.map_err(|error| {
        Failure::runtime(format!("stdin: {error}"), "give the password in UTF-8")
    })?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn read_hidden(prompt: &str) -> Result<String, Failure> {
    eprint!("{prompt}");
    let _hidden = Hidden::begin();
    let line = read_line();
    eprintln!();
    line
}

/// As long as it lives, the terminal does not show what is typed. One that
/// cannot hide it is used all the same.
struct Hidden(Option<Termios>);

impl Hidden {
    fn begin() -> Self {
        let usual = tcgetattr(std::io::stdin()).ok();
        if let Some(usual) = &usual {
            let mut hidden = usual.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &hidden);
        }
        Self(usual)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(usual) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, usual);
        }
    }
}
