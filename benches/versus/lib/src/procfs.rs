//! What the kernel says of processes: who belongs to whom, what they used, and
//! who listens.

use std::collections::BTreeSet;

/// A process and everything it started, directly or not, that is not gone.
pub fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut next = 0;
    while next < all.len() {
        for thread in threads(all[next]) {
            let path = format!("/proc/{}/task/{thread}/children", all[next]);
            let children = std::fs::read_to_string(path).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    all
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_string_lossy().parse().ok())
        .collect()
}

/// CPU time of every thread of a process so far, nanoseconds, by thread id.
pub fn cpu_ns(pid: u32) -> Vec<(u32, u64)> {
    let spent = |thread: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
        Some((thread, text.split(' ').next()?.parse().ok()?))
    };
    threads(pid).into_iter().filter_map(spent).collect()
}

/// The most memory each process ever had resident, added up, bytes. Pages that
/// several processes share count in each.
pub fn peak_rss_bytes(pids: &[u32]) -> u64 {
    let peak = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    };
    pids.iter().filter_map(peak).sum()
}

/// Whether a process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// The sockets that listen on a TCP port, by inode.
pub fn listeners(port: u16) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        all.extend(parse_listeners(&text, port));
    }
    all
}

/// Columns: slot, local address, remote address, state, queues, timer,
/// retransmits, user, timeout, inode.
fn parse_listeners(text: &str, port: u16) -> Vec<u64> {
    let listens = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
        is_it.then(|| fields.get(9)?.parse().ok())?
    };
    text.lines().skip(1).filter_map(listens).collect()
}

/// `TCP_LISTEN` of the kernel.
const LISTEN: &str = "0A";

/// The sockets a process has open, by inode.
pub fn sockets(pid: u32) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let inode = |entry: std::fs::DirEntry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let text = target
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?;
        text.parse().ok()
    };
    entries.flatten().filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read_from_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt \
                     uid timeout inode\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 \
                     4711 1 0\n\
                     1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 \
                     4712 1 0\n\
                     2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 \
                     4713 1 0\n";
        assert_eq!(parse_listeners(table, 8080), [4711]);
    }

    #[test]
    fn this_process_listens_where_it_says() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inodes = listeners(port);
        assert_eq!(inodes.len(), 1);
        assert!(inodes.is_subset(&sockets(std::process::id())));
        drop(listener);
        assert!(listeners(port).is_empty());
    }

    #[test]
    fn a_child_and_its_child_belong_to_the_tree() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 30 & wait"])
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while tree(child.id()).len() < 2 && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let all = tree(child.id());
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(all.iter().all(|pid| is_alive(*pid)));
        for pid in &all {
            let pid = rustix::process::Pid::from_raw(*pid as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
    }
}
