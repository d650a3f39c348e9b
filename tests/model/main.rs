//! A model check of the cache protocol: every interleaving of small
//! configurations, on the product's own `Home` and `Holder`, with stateright.
//!
//! `world` is the state, `steps` what may happen next, `clients` and `shards`
//! carry it out, `properties` says what must hold, `witness` what must be seen.
//! `sound` and `deaths` are the configurations; `broken` shows that breaking a
//! rule, a lane or the death protocol is noticed, and how.
//!
//! Plain `cargo test` explores the smallest configurations. All of them, as
//! `tests/run model` does, and larger ones by hand (ten minutes):
//!
//!   CORELANE_MODEL=full cargo test --profile sim --test model -- --nocapture \
//!       --test-threads 1
//!   CORELANE_MODEL=long cargo test --profile sim --test model -- --nocapture \
//!       --test-threads 1

mod broken;
mod clients;
mod config;
mod deaths;
mod entry_store;
mod exploration;
mod properties;
mod shards;
mod sound;
mod steps;
mod witness;
mod world;
