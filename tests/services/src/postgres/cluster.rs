//! What a server needs before it starts: a cluster, made once per user and
//! version and copied for each server, and a certificate.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use super::{PASSWORD, USER};
use crate::child::as_user;

/// A cluster to copy: made by whoever comes first, the others wait.
pub(super) fn template() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let version = version();
    let path = std::env::temp_dir().join(format!("corelane-postgres-{version}-{user}-2"));
    let lock = File::create(path.with_extension("lock")).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("the lock");
    if !path.join("made").exists() {
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a folder");
        open_to_all(&path);
        make_cluster(&path);
        std::fs::write(path.join("made"), "").expect("a mark");
    }
    path.join("data")
}

fn make_cluster(folder: &Path) {
    let data = folder.join("data");
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).expect("the password file");
    run(Command::new("sh").arg("-c").arg(format!(
        "{} {} -D {} -U {USER} --pwfile {} --auth-local trust --auth-host scram-sha-256 \
         --encoding UTF8 --locale C --wal-segsize=1 --no-sync",
        as_user(USER).join(" "),
        binary("initdb").display(),
        data.display(),
        password.display(),
    )));
    let sql = "CREATE DATABASE corelane;\n";
    run(Command::new("sh").arg("-c").arg(format!(
        "echo '{sql}' | {} {} --single -D {} postgres",
        as_user(USER).join(" "),
        binary("postgres").display(),
        data.display(),
    )));
}

pub(super) fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

pub(super) fn copy(from: &Path, to: &Path) {
    run(Command::new("cp")
        .arg("-a")
        .arg("--reflink=auto")
        .arg(from)
        .arg(to));
}

/// PostgreSQL is another user, if we are root.
pub(super) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder, open).expect("our own folder");
}

pub(super) fn make_certificate(folder: &Path) {
    let (key, certificate) = (folder.join("server.key"), folder.join("server.crt"));
    run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    if !as_user(USER).is_empty() {
        run(Command::new("chown").arg(USER).arg(&key));
    }
    run(Command::new("chmod").arg("600").arg(&key));
}

fn version() -> String {
    let folder = binary("postgres");
    let name = folder.iter().rev().nth(2).unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A program of the newest PostgreSQL installed as Debian does, else by PATH.
pub(super) fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)));
    let newest = folders.filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| PathBuf::from(name))
}
