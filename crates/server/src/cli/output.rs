//! Standard output, without a panic when its reader has gone.

use std::io::{ErrorKind, Write};

use super::failure::Failure;

/// Prints a text. A reader that went away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::runtime(
            format!("cannot write to standard output: {error}"),
            "check where it goes; a full disk?",
        )),
        _ => Ok(()),
    }
}
