//! What a route pattern may look like. Refused at start, with the cure.

use crate::limits::ROUTE_PARAMS_MAX;

/// Checks one pattern; the error says what would be right.
pub(super) fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    let Some(path) = pattern.strip_prefix('/') else {
        return Err("start it with `/`");
    };
    if !pattern.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("percent-encode everything that is not visible ASCII: paths come encoded");
    }
    if pattern.contains(['?', '#']) {
        return Err("leave out the query: read it in the handler");
    }
    let segments: Vec<&str> = path.split('/').collect();
    let mut names = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        if let Some(name) = segment_param(segment, is_last)? {
            if names.contains(&name) {
                return Err("give each parameter a name of its own");
            }
            names.push(name);
        }
    }
    if names.len() > ROUTE_PARAMS_MAX {
        return Err("use at most 8 parameters");
    }
    Ok(())
}

/// Name of the parameter that a segment is. Text beside it (`img-{id}.png`) is
/// refused: the tree does not come back from a segment that fits by its suffix
/// when the rest of the path does not, so `/{a}b/c` would hide `/{a}/{*rest}`.
fn segment_param(segment: &str, is_last: bool) -> Result<Option<&str>, &'static str> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let inner = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or(SEGMENT)?;
    let name = match inner.strip_prefix('*') {
        Some(_) if !is_last => return Err("`{*rest}` must be the last segment"),
        Some(name) => name,
        None => inner,
    };
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err("name a parameter with ASCII letters, digits and `_`: `{id}`");
    }
    Ok(Some(name))
}

/// Braces that are not a parameter of their own.
pub(super) const SEGMENT: &str =
    "let a parameter be its whole segment, `/{id}/`; write literal braces as %7B and %7D";

const _: () = assert!(ROUTE_PARAMS_MAX == 8, "the message above says so");
