//! What version of HTTP carries a request is known to its codec and to where
//! connections speak it; all else has the neutral heads of `http`.

use crate::breaches::Breaches;
use crate::source::{Source, words};

/// Where a shard's connections speak HTTP/1.
const SPEAKING: &[&str] = &[
    "src/shard/body.rs",
    "src/shard/exchange.rs",
    "src/shard/fast_path.rs",
    "src/shard/respond.rs",
    "src/shard/serve.rs",
];

/// Product files, each with its top module.
pub(crate) fn check<'a>(
    files: impl Iterator<Item = (&'a Source, &'a str)>,
    breaches: &mut Breaches,
) {
    for (source, module) in files {
        // What benchmarks and tests use is handed on there.
        let is_outside = source.path == "src/internals.rs";
        if module == "http1" || is_outside || SPEAKING.contains(&source.path.as_str()) {
            continue;
        }
        for at in words(&source.product, "http1") {
            breaches.add("codec", source, at, "http1".into());
        }
    }
}
