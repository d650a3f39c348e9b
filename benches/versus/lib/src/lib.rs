//! The comparison with other servers: what needs no corelane.
//!
//! `scenario` and `rival` say what is compared; `campaign` goes round all
//! cells, and a cell is `server` (started, owned, ended), `check` (its
//! answers), `load` (wrk and oha) and `meter` (CPU time) over `procfs`. What
//! came of it are `row`s, told by `summary`, `goals`, `plot` and `readme`.

pub mod campaign;
pub mod cell;
pub mod check;
pub mod cores;
pub mod expected;
pub mod goals;
pub mod http;
pub mod idle;
pub mod load;
pub mod meter;
pub mod names;
pub mod open_loop;
pub mod plot;
pub mod procfs;
pub mod progress;
pub mod readme;
pub mod rival;
pub mod row;
pub mod scenario;
pub mod server;
pub mod statistics;
pub mod summary;
