//! What right answers are: made once, by corelane's own store and from files,
//! and compared with what each server says.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

/// The data all servers answer from.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Item `i` is user `i + 1`.
    pub users: Vec<Value>,
    /// `DATASET_FILE`.
    pub items: Vec<Value>,
    /// The first page of users.
    pub list: Value,
    /// The name of each static file, and the hash of its bytes.
    pub files: Vec<(String, u64)>,
}

impl Expected {
    /// Reads the files of the contract, and `list` as it was answered.
    ///
    /// # Errors
    /// When one cannot be read, or is not what it should be.
    pub fn read(users: &Path, dataset: &Path, files: &Path, list: &[u8]) -> Result<Self, String> {
        let text = |path: &Path| {
            let text = std::fs::read_to_string(path);
            text.map_err(|error| format!("{}: {error}", path.display()))
        };
        let json = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
        let users: Result<Vec<Value>, String> = text(users)?.lines().map(json).collect();
        let items = json(&text(dataset)?)?;
        let mut hashes = Vec::new();
        for name in ["4k.bin", "64k.bin", "1m.bin"] {
            let path = files.join(name);
            let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            hashes.push((name.to_owned(), hash(&bytes)));
        }
        Ok(Self {
            users: users?,
            items: items.as_array().cloned().ok_or("the dataset is an array")?,
            list: json(&String::from_utf8_lossy(list))?,
            files: hashes,
        })
    }

    /// `GET /json/{count}`.
    pub fn items(&self, count: usize) -> Value {
        let with_total = |item: &Value| {
            let mut item = item.as_object().cloned().unwrap_or_default();
            let number = |item: &Map<String, Value>, name: &str| item[name].as_f64().unwrap_or(0.0);
            let total = number(&item, "price") * number(&item, "quantity");
            item.insert("total".to_owned(), total.into());
            Value::Object(item)
        };
        let items: Vec<Value> = self.items.iter().take(count).map(with_total).collect();
        serde_json::json!({ "items": items, "count": count })
    }
}

/// The hash static bodies are compared by.
pub fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Members that differ from database to database: compared by presence.
const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Whether two documents say the same: numbers by value, times by presence,
/// the order of members does not matter.
///
/// # Errors
/// Where they differ first.
pub fn same(expected: &Value, found: &Value) -> Result<(), String> {
    compare(expected, found, "$")
}

fn compare(expected: &Value, found: &Value, at: &str) -> Result<(), String> {
    let differs = || Err(format!("{at} is {found}, not {expected}"));
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            if let Some(name) = b.keys().find(|name| !a.contains_key(*name)) {
                return Err(format!("{at}.{name} should not be there"));
            }
            for (name, value) in a {
                let Some(other) = b.get(name) else {
                    return Err(format!("{at}.{name} is missing"));
                };
                if TIMES.contains(&name.as_str()) {
                    if other.as_str().is_none_or(str::is_empty) {
                        return Err(format!("{at}.{name} is {other}, not a time"));
                    }
                    continue;
                }
                compare(value, other, &format!("{at}.{name}"))?;
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                return Err(format!("{at} has {} elements, not {}", b.len(), a.len()));
            }
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.try_for_each(|(index, (a, b))| compare(a, b, &format!("{at}[{index}]")))
        }
        (Value::Number(a), Value::Number(b)) => match a.as_f64() == b.as_f64() {
            true => Ok(()),
            false => differs(),
        },
        _ if expected == found => Ok(()),
        _ => differs(),
    }
}

/// A body without its `Content-Encoding`.
///
/// # Errors
/// When it is another coding than gzip, or no gzip.
pub fn decoded(coding: Option<&str>, body: &[u8]) -> Result<Vec<u8>, String> {
    match coding {
        None | Some("identity") => Ok(body.to_vec()),
        Some("gzip") => {
            let mut plain = Vec::new();
            let read = flate2::read::MultiGzDecoder::new(body).read_to_end(&mut plain);
            read.map_err(|error| format!("no gzip: {error}"))?;
            Ok(plain)
        }
        Some(other) => Err(format!("Content-Encoding {other} was not asked for")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_by_presence_numbers_by_value() {
        let expected = json!({"id": 1, "at": [1.0], "created_at": "2026-01-01T00:00:00Z"});
        let found = json!({"created_at": "x", "at": [1], "id": 1});
        same(&expected, &found).unwrap();
    }

    #[test]
    fn where_they_differ_is_said() {
        let expected = json!({"data": [{"id": 1, "created_at": "x"}]});
        for (found, why) in [
            (
                json!({"data": [{"id": 2, "created_at": "x"}]}),
                "$.data[0].id is 2, not 1",
            ),
            (json!({"data": [{"id": 1, "created_at": ""}]}), "not a time"),
            (
                json!({"data": [{"id": 1}]}),
                "$.data[0].created_at is missing",
            ),
            (json!({"data": []}), "$.data has 0 elements, not 1"),
            (json!({"data": [], "more": 1}), "$.more should not be there"),
            (json!({"data": null}), "$.data is null"),
        ] {
            let error = same(&expected, &found).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn gzip_is_taken_off_and_nothing_else() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"hello").unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(decoded(Some("gzip"), &packed).unwrap(), b"hello");
        assert_eq!(decoded(None, b"hello").unwrap(), b"hello");
        assert!(decoded(Some("br"), b"").is_err());
        assert!(decoded(Some("gzip"), b"hello").is_err());
    }
}
