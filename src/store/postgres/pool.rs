//! (stand-in) One connection shared by all, and a new one for each exclusive
//! use.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use tokio_postgres::{CancelToken, Config, NoTls};

use super::connection::Connection;
use super::fault;
use crate::engine::{self, Target};
use crate::store::StoreError;

/// Whether a lost answer may mean a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

#[derive(Clone)]
pub(super) struct Pool {
    inner: Rc<Inner>,
}

struct Inner {
    config: Config,
    shared: RefCell<Option<Rc<Connection>>>,
    idle: RefCell<Vec<Rc<Connection>>>,
}

pub(super) struct Exclusive {
    connection: Rc<Connection>,
    pool: Pool,
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        if !self.connection.is_spoiled() {
            self.pool
                .inner
                .idle
                .borrow_mut()
                .push(self.connection.clone());
        }
    }
}

impl Deref for Exclusive {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Pool {
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let config = url.parse::<Config>();
        let config = config.map_err(|error| StoreError::Failed(error.to_string()))?;
        let (shared, idle) = Default::default();
        Ok(Self {
            inner: Rc::new(Inner {
                config,
                shared,
                idle,
            }),
        })
    }

    pub(super) async fn shared<T>(
        &self,
        intent: Intent,
        work: impl AsyncFn(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let known = self.inner.shared.borrow().clone();
        let known = known.filter(|connection| !connection.client().is_closed());
        let connection = match known {
            Some(connection) => connection,
            None => {
                let connection = Rc::new(self.connect().await?);
                *self.inner.shared.borrow_mut() = Some(connection.clone());
                connection
            }
        };
        work(&connection)
            .await
            .map_err(|error| fault::error(intent, error))
    }

    pub(super) async fn exclusive(&self) -> Result<Exclusive, StoreError> {
        let idle = self.inner.idle.borrow_mut().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => Rc::new(self.connect().await?),
        };
        let pool = self.clone();
        Ok(Exclusive { connection, pool })
    }

    /// Tells the server to stop what that connection does.
    pub(super) async fn cancel(&self, token: CancelToken) {
        if let Ok(stream) = self.dial().await {
            let _ = token.cancel_query_raw(stream, NoTls).await;
        }
    }

    async fn dial(&self) -> Result<engine::ClientStream, StoreError> {
        let port = self
            .inner
            .config
            .get_ports()
            .first()
            .copied()
            .unwrap_or(5432);
        let target = match self.inner.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => Target::Tcp {
                host: host.clone(),
                port,
            },
            Some(tokio_postgres::config::Host::Unix(path)) => {
                Target::Unix(path.join(format!(".s.PGSQL.{port}")))
            }
            None => return Err(StoreError::Failed("no host".to_owned())),
        };
        let stream = engine::connect(&target).await;
        stream.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let stream = self.dial().await?;
        let connected = self.inner.config.connect_raw(stream, NoTls).await;
        let (client, driver) = connected.map_err(fault::read_error)?;
        engine::spawn_local(driver);
        Ok(Connection::new(client))
    }
}
