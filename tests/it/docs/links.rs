//! Links of a page to files and headings of the repository.

use super::{read, root};

/// Links of the page that lead nowhere, each with the page.
pub(super) fn broken(path: &str) -> Vec<String> {
    let folder = root().join(path);
    let folder = folder.parent().expect("a folder");
    let text = read(path);
    let broken = targets(&text).filter(|target| {
        if target.contains("://") {
            return false;
        }
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = match file {
            "" => root().join(path),
            file => folder.join(file),
        };
        let Ok(there) = file.metadata() else {
            return true;
        };
        if heading.is_empty() || there.is_dir() {
            return !heading.is_empty();
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        !anchors(&text).any(|anchor| anchor == heading)
    });
    broken.map(|target| format!("{path}: {target}")).collect()
}

/// What stands in `](...)`, outside of code.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    let lines = text.lines().filter(move |line| {
        is_code ^= line.starts_with("```");
        !is_code
    });
    lines.flat_map(|line| {
        line.split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
    })
}

/// As hosts of Markdown make them of headings.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[test]
fn links_and_headings_are_found() {
    let text = "# One, `two` Three\n[a](b.md#c) [d](e)\n```sh\n[f](g)\n```\n";
    assert_eq!(targets(text).collect::<Vec<_>>(), ["b.md#c", "e"]);
    assert_eq!(anchors(text).collect::<Vec<_>>(), ["one-two-three"]);
}
