//! Listening for what others commit, over a connection of its own, one per
//! process. It is asked for a sign of life every
//! [`DATABASE_FEED_HEARTBEAT_MS`](crate::store::limits::DATABASE_FEED_HEARTBEAT_MS),
//! so that a connection that has silently died is noticed, and made anew with
//! growing pauses.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Notification, SimpleQueryMessage};

use crate::store::changes::{self, Change, ChangeEvent};
use crate::store::limits::{
    DATABASE_FEED_HEARTBEAT_MS, DATABASE_FEED_NOTIFICATIONS_MAX, DATABASE_FEED_TIMEOUT_MS,
    DATABASE_SURPRISE_MS,
};
use corelane::internals::announce::Peers;
use corelane::internals::backoff::RetrySchedule;
use corelane::internals::engine::{self, LocalEvent};
use corelane::postgres::{DirectConnection, PostgresServer, describe};

/// Hears what others change. Made on the shard that listens.
pub(in crate::store) struct Listener {
    server: Arc<PostgresServer>,
    /// What this process's own writes are told with.
    origin: String,
    /// Since when the present connection listens.
    since: Instant,
    retry: RetrySchedule,
    connection: Option<DirectConnection>,
    heard: Rc<Heard>,
    /// A loss was told, and no return since.
    is_lost: bool,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// What has come and was not taken yet.
struct Heard {
    payloads: RefCell<VecDeque<String>>,
    /// More came than could be kept.
    has_overflowed: Cell<bool>,
    peers: RefCell<Peers>,
    rung: LocalEvent,
}

impl Listener {
    /// `origin` is what this process's own writes are told with.
    pub(super) fn new(server: Arc<PostgresServer>, origin: String) -> Self {
        let peers = Peers::new(&origin, server.options().statement_timeout_ms);
        Self {
            retry: server.retry_schedule(),
            server,
            origin,
            since: Instant::now(),
            connection: None,
            heard: Rc::new(Heard {
                payloads: RefCell::default(),
                has_overflowed: Cell::new(false),
                peers: RefCell::new(peers),
                rung: LocalEvent::default(),
            }),
            is_lost: false,
        }
    }

    /// The next thing there is to know. Ends never; may be dropped.
    pub(in crate::store) async fn next(&mut self) -> ChangeEvent {
        loop {
            let Some(connection) = &self.connection else {
                match self.listen().await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        self.retry.worked();
                        self.since = Instant::now();
                        self.is_lost = false;
                        return ChangeEvent::Running;
                    }
                    Err(why) => {
                        if !std::mem::replace(&mut self.is_lost, true) {
                            return ChangeEvent::Lost(why);
                        }
                        let pause = self.retry.failed(Instant::now());
                        engine::sleep(pause).await;
                        continue;
                    }
                }
            };
            let own = match self.may_surprise() {
                true => None,
                false => Some(self.origin.as_str()),
            };
            if let Some(changes) = self.heard.take(own) {
                if changes.is_empty() {
                    continue;
                }
                return ChangeEvent::Changed(changes);
            }
            if self.heard.peers.borrow_mut().have_doubts(Instant::now()) {
                return ChangeEvent::Changed(changes::everything());
            }
            if connection.is_over() {
                if engine::is_ending() {
                    // Not lost: given up. Whoever ends the shard cuts the feed.
                    return std::future::pending().await;
                }
                let why = connection.reason();
                self.connection = None;
                self.is_lost = true;
                return ChangeEvent::Lost(why.unwrap_or_else(|| "the server closed it".to_owned()));
            }
            if engine::timeout(self.pause(), self.heard.rung.wait())
                .await
                .is_err()
            {
                ask_for_life(connection).await;
            }
        }
    }

    /// Whether what is told of our own writes may be news: one of them may have
    /// been committed after we gave it up, and since we listen. None can be
    /// under way any more when the server has gone on for so long.
    fn may_surprise(&self) -> bool {
        let Some(unknown_at) = self.server.unknown_outcome_at() else {
            return false;
        };
        let patience = self.server.options().statement_timeout_ms + DATABASE_SURPRISE_MS;
        unknown_at.max(self.since).elapsed() < Duration::from_millis(patience)
    }

    /// How long nothing need be looked at.
    fn pause(&self) -> Duration {
        let heartbeat = Duration::from_millis(DATABASE_FEED_HEARTBEAT_MS);
        match self.heard.peers.borrow().due_at() {
            Some(due_at) => heartbeat.min(due_at.saturating_duration_since(Instant::now())),
            None => heartbeat,
        }
    }

    /// Connects and listens; what is heard from now on is kept.
    async fn listen(&self) -> Result<DirectConnection, String> {
        self.heard.begin_anew();
        let (heard, ended) = (self.heard.clone(), self.heard.clone());
        let dialed = self
            .server
            .dialer()
            .dial_and_hear(move |told| heard.put(&told))
            .await;
        let dialed = dialed.map_err(|error| error.to_string())?;
        dialed.when_over(move || ended.rung.notify());
        let patience = Duration::from_millis(DATABASE_FEED_TIMEOUT_MS);
        let listening = async {
            dialed.client().batch_execute(LISTEN).await?;
            // From here on we hear of who comes; these were there before.
            dialed.client().query(PRESENT, &[]).await
        };
        match engine::timeout(patience, listening).await {
            Ok(Ok(present)) => {
                let mut peers = self.heard.peers.borrow_mut();
                for row in present {
                    let member: &str = row.try_get(0).map_err(|error| error.to_string())?;
                    peers.hear(&format!("{member} beat"), Instant::now());
                }
                drop(peers);
                Ok(dialed)
            }
            Ok(Err(error)) => {
                dialed.cut();
                Err(describe(&error))
            }
            Err(_) => {
                dialed.cut();
                Err("the server did not answer in time".to_owned())
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.close();
        }
    }
}

/// A connection that does not answer is cut. So is one to a server that has
/// stopped to take writes: nothing is told there any more, and the address may lead
/// to another by now.
async fn ask_for_life(connection: &DirectConnection) {
    let patience = Duration::from_millis(DATABASE_FEED_TIMEOUT_MS);
    let asked = connection
        .client()
        .simple_query("SHOW transaction_read_only");
    let answer = engine::timeout(patience, asked).await;
    let is_read_only = |answer: &[SimpleQueryMessage]| {
        answer.iter().any(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
            _ => false,
        })
    };
    match answer {
        Ok(Ok(answer)) if is_read_only(&answer) && !connection.is_read_only() => connection.cut(),
        Ok(Ok(_)) => {}
        _ => connection.cut(),
    }
}

/// A channel of its own; PostgreSQL keeps one order over all.
const PRESENCE: &str = "corelane_presence";

/// The first channel is that of the triggers in `migrations`.
/// The name tells it from the other connections in pg_stat_activity.
const LISTEN: &str = "\
    LISTEN corelane_changes; LISTEN corelane_presence; \
    SELECT set_config('application_name', left(current_setting('application_name'), 55) \
     || ' changes', false)";

/// The shards that tell of their writes; `announce` names their connections so.
const PRESENT: &str = "\
    SELECT split_part(application_name, ' announces ', 2) FROM pg_stat_activity \
    WHERE datname = current_database() AND split_part(application_name, ' announces ', 2) <> ''";

impl Heard {
    fn put(&self, told: &Notification) {
        if told.channel() == PRESENCE {
            let mut peers = self.peers.borrow_mut();
            peers.hear(told.payload(), Instant::now());
            return;
        }
        let mut payloads = self.payloads.borrow_mut();
        if payloads.len() < DATABASE_FEED_NOTIFICATIONS_MAX {
            payloads.push_back(told.payload().to_owned());
        } else {
            self.has_overflowed.set(true);
        }
        drop(payloads);
        self.rung.notify();
    }

    /// All that has come, without what is our own; `None` if nothing has.
    fn take(&self, own_origin: Option<&str>) -> Option<Vec<Change>> {
        let payloads = self.payloads.take();
        if self.has_overflowed.take() {
            return Some(changes::everything());
        }
        if payloads.is_empty() {
            return None;
        }
        let told = payloads.iter();
        let told = told.filter_map(|payload| changes::parse(payload, own_origin));
        Some(told.flatten().collect())
    }

    /// Who was there is still known: a write may outlive its shard, and be
    /// committed when we listen again and the shard is gone.
    fn begin_anew(&self) {
        self.payloads.take();
        self.has_overflowed.set(false);
        self.peers.borrow_mut().listen_anew(Instant::now());
    }
}
