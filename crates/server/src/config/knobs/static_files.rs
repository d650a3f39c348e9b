//! Section `[static]`.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::value::{KnobValue, not_valid, quote, read_string};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "static.root",
        flag: Some("static"),
        valid: Valid::Says("the path of a folder that is there"),
        what: "The folder that is served. The default one is made at the first start, with a demo page\n\
               unless server.no_demo.",
        cost: "none until asked for.",
        change: "to the folder of your site's files. No path or link leads out of it.",
        ..turns!(static_files.root)
    },
    Knob {
        name: "static.index",
        valid: Valid::Says("the name of a file, or \"\" for none"),
        what: "File served for a folder; without one folders are 404.",
        cost: "none.",
        change: "\"\" when folders must not answer.",
        ..turns!(static_files.index)
    },
    Knob {
        name: "static.hidden",
        valid: Valid::Says("true or false"),
        what: "Serve names that begin with a dot. Without it only .well-known is served.",
        cost: "none; a risk: .git and .env files.",
        change: "rarely.",
        ..turns!(static_files.hidden)
    },
    Knob {
        name: "static.precompressed",
        valid: Valid::Says("true or false"),
        what: "Answer with FILE.br, FILE.zst or FILE.gz to clients that accept it, where there is one\n\
               not older than FILE, not empty, and, unless it is just as old (as `gzip -k` leaves it),\n\
               not put there before FILE was.",
        cost: "three more lookups for a file not in the cache.",
        change: "false when there are no such files.",
        ..turns!(static_files.precompressed)
    },
    Knob {
        name: "static.cache_bytes",
        unit: "bytes per shard",
        valid: Valid::Range(0, 1 << 40),
        what: "Memory for files and lookups kept by each shard.",
        cost: "that much times shards, once warm.",
        change: "up to the size of the files asked for most.",
        ..turns!(static_files.cache_bytes)
    },
    Knob {
        name: "static.cached_file_bytes_max",
        unit: "bytes",
        valid: Valid::Range(0, 1 << 30),
        what: "Longer files are not kept in memory but streamed from disk. At most a quarter of\n\
               cache_bytes.",
        cost: "memory: a few such files can push out many small ones; a descriptor for each\n\
               that is kept and longer than 32 KiB.",
        change: "up together with cache_bytes when larger files are hot.",
        ..turns!(static_files.cached_file_bytes_max)
    },
    Knob {
        name: "static.revalidate_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, 3_600_000),
        what: "How long a change on disk can go unnoticed. Once one shard has noticed, all have.",
        cost: "a stat per file in use, shard and this time, on the blocking threads.",
        change: "up on network disks; down where a change must show at once.",
        ..turns!(static_files.revalidate_ms)
    },
    Knob {
        name: "static.open_files_max",
        unit: "files per shard",
        valid: Valid::Range(1, 1_000_000),
        what: "Files being streamed at once. Over it: 503 with Retry-After.",
        cost: "two descriptors each; count them into LimitNOFILE.",
        change: "up for many slow downloads.",
        ..turns!(static_files.open_files_max)
    },
    Knob {
        name: "static.fingerprints",
        valid: Valid::Says("true or false"),
        what: "Answer names with a fingerprint of the content too (app.4f3a9c1b2d3e4f50.js of app.js), for\n\
               a year when it is that of the file now, and link pages to them where there is a CDN.",
        cost: "files are read at start, 64 MiB on each shard at most.",
        change: "false when your build names its files itself and nothing links by asset_url.",
        ..turns!(static_files.fingerprints)
    },
    Knob {
        name: "static.cdn_url",
        valid: Valid::Says("a URL as https://cdn.example.org, or \"\" for none"),
        what: "Where a CDN has /static/ of this server. Links of pages (src, href) to files that were there\n\
               at start lead there, under their names with a fingerprint.",
        cost: "pages are sent without their precompressed variants.",
        change: "to your CDN, with this server as its origin. Restart after a deploy.",
        ..turns!(static_files.cdn_url)
    },
    Knob {
        name: "static.cache_control",
        is_table: true,
        valid: Valid::Says("lines of \"PATTERN\" = \"VALUE\""),
        what: "Cache-Control by path; the first pattern that matches counts, in the order written, and\n\
               this table takes the place of the default one. `*` is anything but a slash, `**` anything,\n\
               {hash} a fingerprint of 8 or more digits in the name. What none matches gets none.",
        cost: "none.",
        change: "to the names your build gives. Keep those without a fingerprint no-cache: a browser that\n\
                 may keep them runs a new page with an old script.",
        ..turns!(static_files.cache_control)
    },
];

/// A file name that may be left out: `""`.
impl KnobValue for Option<String> {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            "" => Ok(None),
            name if name.contains(['/', '\0']) || name == "." || name == ".." => {
                Err(not_valid(value))
            }
            name => Ok(Some(name.to_owned())),
        }
    }

    fn show(&self) -> String {
        quote(self.as_deref().unwrap_or(""))
    }
}
