//! The fenced blocks of a page, and the bash script that runs them.

use std::fmt::Write as _;

/// A fenced block.
pub(super) struct Block {
    /// `README.md:17`, the line of the fence.
    place: String,
    language: String,
    text: String,
    is_run: bool,
}

impl Block {
    pub(super) fn is_rust(&self) -> bool {
        self.language == "rust"
    }

    /// For the settings of corelane, as far as it is run.
    fn is_settings(&self) -> bool {
        self.language == "toml" && !self.text.starts_with("[dependencies]")
    }
}

/// Above a block that a test cannot run, with the reason after it.
const NOT_RUN: &str = "<!-- not run: ";

/// The blocks of a page, in order.
pub(super) fn blocks(path: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut above = "";
    for (index, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some("") if open => open = false,
            Some(language) if !open => {
                assert!(!language.is_empty(), "{path}:{}: no language", index + 1);
                open = true;
                blocks.push(Block {
                    place: format!("{path}:{}", index + 1),
                    language: language.to_owned(),
                    text: String::new(),
                    is_run: !above.starts_with(NOT_RUN),
                });
            }
            _ if open => {
                let block = blocks.last_mut().expect("one is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            _ => {}
        }
        above = line;
    }
    assert!(!open, "{path}: a block does not end");
    blocks
}

/// One script of all that runs, so that variables and files of a block are there
/// in the next.
pub(super) fn script(blocks: &[Block], substitute: impl Fn(&str) -> String) -> String {
    let mut script = PRELUDE.to_owned();
    for block in blocks.iter().filter(|block| block.is_run) {
        let text = substitute(&block.text);
        // Writing to a String cannot fail.
        let _ = match block.language.as_str() {
            "sh" => write!(script, "block={}\n{text}", block.place),
            _ if block.is_settings() => write!(
                script,
                "block={}\ncat >settings.toml <<'END'\n{text}END\ncheck settings.toml\n",
                block.place
            ),
            _ => Ok(()),
        };
    }
    script
}

/// A `corelane serve` takes the place of the one before and is waited for; it ends
/// with the script.
const PRELUDE: &str = r#"set -eEuo pipefail
served=
stop() {
    [ -n "$served" ] || return 0
    kill "$served" 2>/dev/null || true
    wait "$served" || true
    served=
}
trap stop EXIT
trap 'echo "failed in $block: $BASH_COMMAND" >&2' ERR
curl() {
    command curl --silent --show-error --fail-with-body --noproxy '*' --max-time 30 "$@"
}
corelane() {
    if [ "$1" != serve ] || [[ " $* " = *" --check "* ]]; then
        "$CORELANE_PROGRAM" "$@"
        return
    fi
    stop
    "$CORELANE_PROGRAM" "$@" &
    served=$!
    until command curl --silent --noproxy '*' --output /dev/null "http://$CORELANE_LISTEN/health/live"; do
        kill -0 "$served"
        sleep 0.05
    done
}
check() {
    CORELANE_LISTEN=127.0.0.1:0 CORELANE_ADMIN_LISTEN=127.0.0.1:0 \
        "$CORELANE_PROGRAM" serve --check --config "$1"
}
"#;
