//! Connections that have asked once and say nothing more.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::{Client, Question};

/// Descriptors this program needs beside them.
const SPARE: u64 = 200;
/// Connections opened before the first of them is read: less than any backlog.
const BATCH: usize = 100;

/// Open connections; closed with the value.
pub struct IdleConnections {
    streams: Vec<TcpStream>,
}

impl IdleConnections {
    /// Opens them, each with one answer of `path`, so that the server has
    /// accepted all.
    ///
    /// # Errors
    /// When this process may not have so many, or the server does not take
    /// them.
    pub fn open(port: u16, count: u32, path: &str) -> Result<Self, String> {
        allow(u64::from(count) + SPARE)?;
        let question = Question {
            path,
            ..Question::default()
        };
        let mut streams = Vec::with_capacity(count as usize);
        while streams.len() < count as usize {
            let open = streams.len();
            let told = |why| format!("idle connections, {open} of {count} open: {why}");
            let batch = BATCH.min(count as usize - streams.len());
            let clients: Result<Vec<Client>, String> = (0..batch)
                .map(|_| {
                    let mut client = Client::connect(port)?;
                    client.send(&question)?;
                    Ok(client)
                })
                .collect();
            for mut client in clients.map_err(told)? {
                client.answer().map_err(told)?;
                streams.push(client.into_stream());
            }
        }
        Ok(Self { streams })
    }

    /// How many the server has closed meanwhile.
    pub fn closed(&mut self) -> usize {
        let is_closed = |stream: &mut TcpStream| {
            let _ = stream.set_nonblocking(true);
            let read = stream.read(&mut [0]);
            !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
        };
        self.streams
            .iter_mut()
            .map(is_closed)
            .filter(|is_closed| *is_closed)
            .count()
    }
}

/// Raises the limit of open files, which servers started later inherit.
///
/// # Errors
/// When the hard limit is lower.
pub fn allow(descriptors: u64) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= descriptors) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < descriptors) {
        return Err(format!(
            "{descriptors} open files are needed; raise the hard limit: ulimit -Hn {descriptors}"
        ));
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("raising RLIMIT_NOFILE: {error}"))
}
