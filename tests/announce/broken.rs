//! The protocol with one promise broken, one type each.

use corelane_proto::announce::Rules;

macro_rules! broken {
    ($($name:ident: $rule:ident),+ $(,)?) => {$(
        pub(crate) struct $name;

        impl Rules for $name {
            const $rule: bool = true;
        }
    )+};
}

broken! {
    LeaveWritesBehind: LEAVE_WRITES_BEHIND,
    IgnoreLease: IGNORE_LEASE,
    TellDoubtsOnce: TELL_DOUBTS_ONCE,
    ForgetUntold: FORGET_UNTOLD,
    DoubtOnce: DOUBT_ONCE,
    ForgetPeers: FORGET_PEERS,
}
