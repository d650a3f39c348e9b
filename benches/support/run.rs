//! Run folders: what was measured, with what, and every raw row.

use std::path::PathBuf;

use super::{args, describe_host};

/// The folder that `--out` names, made now.
pub fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(args::text("--out")?);
    std::fs::create_dir_all(&folder).expect("the run folder can be made");
    Some(folder)
}

/// Prints a result, and writes `README.md` and `raw.csv` if `--out` says where.
pub fn report(title: &str, bench: &str, result: &str, raw_csv: &str) {
    println!("{result}");
    let Some(folder) = folder() else {
        return;
    };
    let readme = format!(
        "# {title}\n\n`cargo bench --bench {bench} -- ARGUMENTS`\n\n{}\n{}\n",
        describe_host(),
        result.trim_end()
    );
    std::fs::write(folder.join("README.md"), readme).expect("README.md");
    std::fs::write(folder.join("raw.csv"), raw_csv).expect("raw.csv");
}
