//! Breaches of the house style, and whether each is allowed.

use std::collections::BTreeMap;

use crate::source::Source;

/// What was found, by rule and file.
#[derive(Default)]
pub(crate) struct Breaches(BTreeMap<(&'static str, String), Vec<String>>);

impl Breaches {
    pub(crate) fn add(&mut self, rule: &'static str, source: &Source, at: usize, why: String) {
        self.add_at(rule, &source.path, source.line_of(at), why);
    }

    pub(crate) fn add_at(&mut self, rule: &'static str, path: &str, line: usize, why: String) {
        let found = self.0.entry((rule, path.to_owned())).or_default();
        found.push(format!("{path}:{line}: {rule}: {why}"));
    }

    pub(crate) fn add_each(
        &mut self,
        rule: &'static str,
        source: &Source,
        text: &str,
        forbidden: &[&str],
    ) {
        for needle in forbidden {
            for (at, _) in text.match_indices(needle) {
                self.add(rule, source, at, (*needle).to_owned());
            }
        }
    }

    pub(crate) fn judge(self, exceptions: &[(&str, &str, usize)]) {
        let mut wrong = Vec::new();
        for ((rule, path), found) in &self.0 {
            let allowed = exceptions.iter().find(|(r, p, _)| r == rule && p == path);
            if found.len() > allowed.map_or(0, |(_, _, count)| *count) {
                wrong.extend(found.iter().cloned());
            }
        }
        for (rule, path, count) in exceptions {
            let found = self.0.get(&(*rule, (*path).to_owned())).map_or(0, Vec::len);
            if found < *count {
                let lower = format!("{path}: {rule}: {found} left of {count}: lower EXCEPTIONS");
                wrong.push(lower);
            }
        }
        assert!(
            wrong.is_empty(),
            "{} breaches of style:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
}
