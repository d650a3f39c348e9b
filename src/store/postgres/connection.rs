//! One connection and what is prepared on it.

/// A connection to PostgreSQL.
pub(super) struct Connection {
    client: tokio_postgres::Client,
}

impl Connection {
    pub(super) fn new(client: tokio_postgres::Client) -> Self {
        Self { client }
    }

    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.client
    }
}
