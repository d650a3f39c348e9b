//! What is counted of the lanes between shards.

use super::counted::counters;

counters! {
    /// What went through one shard's lanes to the others and from them; they only
    /// grow.
    pub struct MeshCounters {
        counter "corelane_mesh_messages_total"
        "Messages between shards; invalidations and acknowledgements are replies."
        by class direction {
            /// Requests accepted for other shards.
            requests_sent: "request" "sent",
            /// Requests received.
            requests_received: "request" "received",
            /// Replies, invalidations and acknowledgements accepted for other shards.
            replies_sent: "reply" "sent",
            /// The same, received.
            replies_received: "reply" "received",
        };
        counter "corelane_mesh_doorbells_total"
        "Other shards woken because they slept."
        => doorbells_rung;
        counter "corelane_mesh_requests_refused_total"
        "Requests not sent because too many waited for one shard."
        => requests_refused;
        counter "corelane_mesh_lane_full_total"
        "Messages that found their lane full and had to wait."
        => lane_full;
    }
}
