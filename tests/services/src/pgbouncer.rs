//! A private PgBouncer before a PostgreSQL, configured as its package comes but
//! for where it listens and what it leads to.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::Database;
use crate::child::{Server, becomes, free_port};

/// A running pooler; it logs in at the server as `postgres`.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    _server: Server,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one before the server of `database`; `settings` are lines for its
    /// section, such as `pool_mode = transaction`.
    ///
    /// # Panics
    /// When there is no PgBouncer on this machine; `apt-get install pgbouncer`
    /// brings it.
    pub fn before(database: &Database, settings: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let open = |path: &Path, mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, mode).expect("our own");
        };
        open(folder.path(), 0o755);
        for _ in 0..5 {
            let port = free_port();
            let (users, file) = (folder.path().join("users"), folder.path().join("ini"));
            std::fs::write(&users, "\"postgres\" \"secret\"\n").expect("a file");
            let text = format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
                 auth_file = {}\n{settings}\n",
                database.port(),
                users.display(),
            );
            std::fs::write(&file, text).expect("a file");
            open(&users, 0o644);
            open(&file, 0o644);
            let (program, file) = (program(), file.display().to_string());
            let command = ["-q", &file];
            let command: Vec<&str> = [program.to_str().expect("a path")]
                .into_iter()
                .chain(command)
                .collect();
            let mut server = Server::start(&command, "postgres", Signal::TERM);
            let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            if becomes(&mut server, answers) {
                return Self {
                    port,
                    _server: server,
                    _folder: folder,
                };
            }
        }
        panic!("PgBouncer does not start");
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Debian has it where only root looks.
fn program() -> PathBuf {
    let debian = PathBuf::from("/usr/sbin/pgbouncer");
    match debian.exists() {
        true => debian,
        false => PathBuf::from("pgbouncer"),
    }
}
