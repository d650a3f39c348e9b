//! The statements that were prepared on one connection, by a key: their text,
//! or a name for it.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use tokio_postgres::Statement;

/// At most so many; the oldest goes first, and the server is told when nobody
/// runs it any more.
pub struct StatementCache<K> {
    most: usize,
    by_key: HashMap<K, Statement>,
    oldest_first: VecDeque<K>,
}

impl<K: Clone + Eq + Hash> StatementCache<K> {
    /// An empty one for `most` statements.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            by_key: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The statement, if it was prepared and is still kept.
    pub fn find<Q>(&self, key: &Q) -> Option<Statement>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.by_key.get(key).cloned()
    }

    /// Keeps a statement; one that another task prepared meanwhile is replaced.
    pub fn keep(&mut self, key: K, statement: Statement) {
        if self.by_key.insert(key.clone(), statement).is_some() {
            return;
        }
        self.oldest_first.push_back(key);
        if self.oldest_first.len() > self.most
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_key.remove(oldest.borrow());
        }
    }
}
