//! Which CPUs the servers have, and which the load.

/// CPU ids by what runs on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// The server that is measured: a worker for each.
    pub server: Vec<usize>,
    /// The load generators, this program, and what PostgreSQL does.
    pub load: Vec<usize>,
}

impl Cores {
    /// Half of the CPUs for the server, the others for the load.
    ///
    /// # Errors
    /// When there is only one.
    pub fn halves(allowed: &[usize]) -> Result<Self, String> {
        if allowed.len() < 2 {
            return Err("a comparison needs two CPUs: one for the server, one for the load".into());
        }
        let (server, load) = allowed.split_at(allowed.len() / 2);
        Ok(Self {
            server: server.to_vec(),
            load: load.to_vec(),
        })
    }

    /// Reads `server=0,load=1`; several CPUs are `server=0-3` or `server=0+2`.
    ///
    /// # Errors
    /// When it cannot be meant, or a CPU is not one of `allowed`.
    pub fn parse(text: &str, allowed: &[usize]) -> Result<Self, String> {
        let (mut server, mut load) = (Vec::new(), Vec::new());
        for part in text.split(',') {
            match part.trim().split_once('=') {
                Some(("server", cpus)) => server = parse_list(cpus)?,
                Some(("load", cpus)) => load = parse_list(cpus)?,
                _ => return Err(format!("--cores server=0,load=1, not {text}")),
            }
        }
        if server.is_empty() || load.is_empty() {
            return Err(format!("--cores names both, server=0,load=1, not {text}"));
        }
        if let Some(cpu) = server.iter().find(|cpu| load.contains(cpu)) {
            return Err(format!(
                "CPU {cpu} cannot serve and load: the figures would be of both"
            ));
        }
        let mut all = server.iter().chain(&load);
        if let Some(cpu) = all.find(|cpu| !allowed.contains(cpu)) {
            return Err(format!(
                "CPU {cpu} is not there; there are {}",
                list(allowed)
            ));
        }
        Ok(Self { server, load })
    }
}

/// As taskset and `CORES` have it: `0,1`.
pub fn list(cpus: &[usize]) -> String {
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    cpus.join(",")
}

fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let number = |text: &str| {
        let number = text.trim().parse::<usize>();
        number.map_err(|_| format!("a CPU is a number, not {text}"))
    };
    let mut cpus = Vec::new();
    for part in text.split('+') {
        match part.split_once('-') {
            Some((first, last)) => cpus.extend(number(first)?..=number(last)?),
            None => cpus.push(number(part)?),
        }
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_cpus() {
        let cores = Cores::parse("server=0-1+3,load=2", &[0, 1, 2, 3]).unwrap();
        assert_eq!(cores.server, [0, 1, 3]);
        assert_eq!(cores.load, [2]);
        assert_eq!(list(&cores.server), "0,1,3");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("server=0", "names both"),
            ("server=0,load=0", "cannot serve and load"),
            ("server=0,load=7", "CPU 7 is not there; there are 0,1"),
            ("server=a,load=1", "a CPU is a number"),
            ("server=0,lod=1", "--cores server=0,load=1"),
        ] {
            let error = Cores::parse(text, &[0, 1]).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Cores::halves(&[0]).is_err());
    }
}
