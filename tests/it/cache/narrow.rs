//! Lanes that hold one message: whatever waits for room in one must not keep
//! others from making it.

use std::time::Duration;

use corelane_server::handlers::cached::ApiCacheOptions;

use super::history::{Crowd, record};
use super::linear::UserTarget;
use super::register::{self, RegisterTarget, Registers};
use super::shipped_api::Api;
use crate::harness::{Engine, InProcess};

both_engines!(
    lanes_of_one_message_carry_everything,
    lanes_of_one_message_carry_users_and_lists,
);

const SHARDS: usize = 4;

const CROWD: Crowd = Crowd {
    clients: 16,
    time: Duration::from_secs(3),
    writes_percent: 30,
    rude_percent: 5,
};

fn lanes_of_one_message_carry_everything(engine: Engine) {
    let registers = Registers::slow(200);
    let options = register::options().ttl_ms(3).keys_max(8);
    let app = register::app(&registers, options);
    let server = InProcess::start_shards(engine, SHARDS, app, |options| {
        options.lane_messages = Some(1);
    });
    let target = RegisterTarget {
        keys: 12,
        panics_permille: 0,
    };
    let seen = record(server.address(), &target, CROWD);
    seen.must_be_linearizable("lanes of one message");
    seen.must_be_answered();
    server.finish();
}

fn lanes_of_one_message_carry_users_and_lists(engine: Engine) {
    let api = Api::start_with(engine, SHARDS, ApiCacheOptions::default(), |options| {
        options.lane_messages = Some(1);
    });
    api.create_people(4);
    let seen = record(api.server.address(), &UserTarget, CROWD);
    seen.must_be_linearizable("users over lanes of one message");
    seen.must_be_answered();
}
