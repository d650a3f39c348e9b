//! Names on the command line: a choice of those there are.

/// Of `all` those that `chosen` names, in the order of `all`; all of them
/// without a choice.
///
/// # Errors
/// Names that are not known, each with the nearest one that is.
pub fn choose<'a>(
    kind: &str,
    chosen: Option<&str>,
    all: &[&'a str],
) -> Result<Vec<&'a str>, String> {
    let Some(chosen) = chosen else {
        return Ok(all.to_vec());
    };
    let chosen: Vec<&str> = chosen
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if chosen.is_empty() {
        return Err(format!("name at least one {kind}: {}", all.join(", ")));
    }
    for name in &chosen {
        if !all.contains(name) {
            let near = nearest(name, all).map_or(String::new(), |n| format!("did you mean {n}? "));
            return Err(format!(
                "no {kind} {name}: {near}there are {}",
                all.join(", ")
            ));
        }
    }
    let named = all.iter().filter(|name| chosen.contains(name));
    Ok(named.copied().collect())
}

fn nearest<'a>(name: &str, all: &[&'a str]) -> Option<&'a str> {
    let scored = all
        .iter()
        .map(|known| (strsim::jaro_winkler(name, known), *known));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.6).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 3] = ["axum", "hyper", "raw-epoll"];

    #[test]
    fn a_choice_keeps_the_order_of_all() {
        let chosen = choose("rival", Some("raw-epoll, axum"), &ALL).unwrap();
        assert_eq!(chosen, ["axum", "raw-epoll"]);
        assert_eq!(choose("rival", None, &ALL).unwrap(), ALL);
    }

    #[test]
    fn an_unknown_name_is_told_with_the_nearest() {
        let error = choose("rival", Some("axum,raw-epol"), &ALL).unwrap_err();
        assert!(
            error.contains("no rival raw-epol: did you mean raw-epoll?"),
            "{error}"
        );
        let error = choose("rival", Some(","), &ALL).unwrap_err();
        assert!(error.starts_with("name at least one rival"), "{error}");
    }
}
