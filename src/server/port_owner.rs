//! Who listens on a port of this machine, as far as `/proc` tells this user: for
//! the message of a start that finds the port taken.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// `process 812 (nginx)`; `None` when nobody's is to be seen: another user's, one
/// in another network namespace, or one that has just ended.
pub(super) fn owner_of(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let inodes: Vec<String> = tables
        .into_iter()
        .flatten()
        .flat_map(|table| listening(&table, address.port()))
        .collect();
    let sockets: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.map(|entry| entry.path()).find_map(|process| {
        let pid: u32 = process.file_name()?.to_str()?.parse().ok()?;
        holds(&process, &sockets).then(|| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("process {pid} ({})", name.trim_end())
        })
    })
}

/// The inodes of sockets that listen on a port, of a table of `/proc/net`.
fn listening(table: &str, port: u16) -> Vec<String> {
    let found = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let (_, here) = local.rsplit_once(':')?;
        let is_it = u16::from_str_radix(here, 16) == Ok(port) && state == LISTEN;
        // After tx and rx queues, timer, retransmits, user and timeout.
        is_it.then(|| fields.nth(5).map(str::to_owned))?
    });
    found.collect()
}

/// `TCP_LISTEN` in a table of `/proc/net`.
const LISTEN: &str = "0A";

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    let mut targets = descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let owner = owner_of(address).expect("an owner");
        let expected = format!("process {} (", std::process::id());
        assert!(owner.starts_with(&expected), "{owner}");
        drop(listener);
        assert_eq!(owner_of(address), None);
    }
}
