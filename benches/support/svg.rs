//! Pictures as text that fits a repository.

/// Breaks lines where the format lets them be broken: between attributes.
pub(crate) fn wrap(svg: &str) -> String {
    let mut text = String::with_capacity(svg.len());
    for line in svg.lines() {
        let mut rest = line.trim_end();
        while rest.len() > LINE_BYTES_MAX {
            let Some(at) = rest[..LINE_BYTES_MAX].rfind(' ').filter(|at| *at > 0) else {
                break;
            };
            text.push_str(&rest[..at]);
            text.push('\n');
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

pub(crate) const LINE_BYTES_MAX: usize = 100;
