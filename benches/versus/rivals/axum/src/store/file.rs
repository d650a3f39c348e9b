//! Users without a database: line i of a file is the JSON of user i.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;

use super::StoreError;
use crate::user::Finished;

pub struct Users(HashMap<i64, Finished, ahash::RandomState>);

#[derive(Deserialize)]
struct Known {
    id: i64,
    version: i64,
}

impl Users {
    pub fn read(path: &Path) -> Result<Self, String> {
        let named = |why: String| format!("USERS_FILE {}: {why}", path.display());
        let text = std::fs::read(path).map_err(|why| named(why.to_string()))?;
        let text = Bytes::from(text);
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let users = lines.map(|line| {
            let Known { id, version } = serde_json::from_slice(line)?;
            Ok((id, Finished::of_body(id, version, text.slice_ref(line))))
        });
        let users: serde_json::Result<_> = users.collect();
        users.map(Self).map_err(|why| named(why.to_string()))
    }

    pub fn user(&self, id: i64) -> Result<Finished, StoreError> {
        self.0.get(&id).cloned().ok_or(StoreError::NotFound)
    }
}
