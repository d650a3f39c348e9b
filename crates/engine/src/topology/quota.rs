//! How much CPU time the cgroups of this process give it: `cpu.max` of its own and
//! of those around it (cgroup 2), or `cpu.cfs_quota_us` (cgroup 1).
//!
//! A quota is no mask: the process sees all CPUs and is stopped, all threads
//! together, when it has had its time. Only worth a hint, so whatever cannot be
//! read counts as no quota.

use std::path::Path;

/// CPUs' worth of time that the cgroups allow, the smallest of them; `None` where
/// there is no bound.
pub fn cpu_quota() -> Option<f64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    quota_of(&groups, Path::new("/sys/fs/cgroup"))
}

/// `groups` are lines such as `0::/system.slice/a.service` or `4:cpu,cpuacct:/a`.
fn quota_of(groups: &str, mount: &Path) -> Option<f64> {
    let quotas = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            return smallest(mount, group, read_cpu_max);
        }
        let is_cpu = controllers.split(',').any(|name| name == "cpu");
        let mount = [mount.join("cpu"), mount.join(controllers)];
        let mount = mount.iter().find(|mount| is_cpu && mount.is_dir())?;
        smallest(mount, group, read_cfs_quota)
    });
    quotas.reduce(f64::min)
}

/// Of a group and of all around it; in a container the path may be one outside of
/// it, of which only the mount itself is to be seen.
fn smallest(mount: &Path, group: &str, read: fn(&Path) -> Option<f64>) -> Option<f64> {
    let folder = mount.join(group.trim_start_matches('/'));
    let around = folder.ancestors().take_while(|at| at.starts_with(mount));
    around.filter_map(read).reduce(f64::min)
}

/// `150000 100000`, or `max 100000`.
fn read_cpu_max(folder: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

fn read_cfs_quota(folder: &Path) -> Option<f64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    // Without a bound the quota is -1.
    ratio(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|us| *us > 0);
    Some(number(quota)? as f64 / number(period)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_smallest_quota_around_the_process_counts() {
        let folder = tempfile::TempDir::new().unwrap();
        let mount = folder.path();
        write(
            mount,
            &[
                ("a/cpu.max", "150000 100000\n"),
                ("a/b/cpu.max", "max 100000\n"),
                ("a/b/c/cpu.max", "400000 100000\n"),
                ("free/cpu.max", "max 100000\n"),
                ("odd/cpu.max", "0 0\n"),
            ],
        );
        for (group, quota) in [
            ("/a/b/c", Some(1.5)),
            ("/a", Some(1.5)),
            ("/free", None),
            ("/odd", None),
            ("/nowhere", None),
            ("/", None),
        ] {
            assert_eq!(quota_of(&format!("0::{group}\n"), mount), quota, "{group}");
        }
        assert_eq!(quota_of("", mount), None);
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        let folder = tempfile::TempDir::new().unwrap();
        write(folder.path(), &[("cpu.max", "50000 100000\n")]);
        assert_eq!(quota_of("0::/kube/pod\n", folder.path()), Some(0.5));
    }

    #[test]
    fn the_first_version_has_other_files() {
        let folder = tempfile::TempDir::new().unwrap();
        write(
            folder.path(),
            &[
                ("cpu,cpuacct/a/cpu.cfs_quota_us", "200000\n"),
                ("cpu,cpuacct/a/cpu.cfs_period_us", "100000\n"),
                ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ],
        );
        let groups = "5:memory:/a\n4:cpu,cpuacct:/a\n";
        assert_eq!(quota_of(groups, folder.path()), Some(2.0));
        assert_eq!(quota_of("4:cpu,cpuacct:/\n", folder.path()), None);
    }
}
