//! A host that refuses system calls, as a hardened unit or a container does: what
//! can be done without is done without, and said; what was asked for by name is
//! refused with the true cause.

use crate::harness::{Engine, Refusal, Serve};

/// Starts what follows with one system call refused: `perl`, because it can make a
/// filter before it becomes the server. Of x86_64.
const WRAPPER: &str = r#"
    my $number = shift;
    # BPF: load the number of the call; EPERM if it is that one, else let it be.
    my $filter = pack("S C C L" x 4,
        0x20, 0, 0, 0, 0x15, 0, 1, $number, 0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7fff0000);
    my $program = pack("S x6 P", 4, $filter);
    syscall(157, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall(317, 1, 0, $program) == 0 or die "seccomp: $!";
    exec @ARGV or die "exec: $!";
"#;

const SCHED_SETAFFINITY: &str = "203";
const IO_URING_SETUP: &str = "425";
const IO_URING_ENTER: &str = "426";

fn without(call: &str) -> Serve {
    let wrapper = ["perl", "-e", WRAPPER, call];
    Serve::on(Engine::Epoll)
        .by_its_defaults()
        .wrapped_in(&wrapper)
}

#[test]
fn without_pinning_the_scheduler_places_the_shards() {
    let serve = without(SCHED_SETAFFINITY)
        .argument("--engine")
        .argument("epoll");
    let server = serve.start();
    for words in [
        "warning: the shards are not pinned",
        "sched_setaffinity is refused",
        ", not pinned",
    ] {
        server.wait_for_output(words);
    }
    server.connect().expect_usable();
    server.stop();
}

#[test]
fn without_pinning_cores_that_were_named_are_refused() {
    let serve = without(SCHED_SETAFFINITY)
        .argument("--shards")
        .argument("\"0\"");
    let Err(Refusal { status, output }) = serve.try_start() else {
        panic!("it started");
    };
    assert_eq!(status.code(), Some(1), "{output}");
    for words in ["sched_setaffinity is refused", "seccomp", "list of cores"] {
        assert!(output.contains(words), "{words} in {output}");
    }
}

/// A ring that can be made and not used is found out before anybody counts on it.
#[test]
fn without_the_calls_of_io_uring_it_is_epoll() {
    for call in [IO_URING_SETUP, IO_URING_ENTER] {
        let server = without(call).start();
        for words in [
            "serving on epoll, not io_uring",
            "the kernel refuses io_uring",
        ] {
            server.wait_for_output(words);
        }
        server.connect().expect_usable();
        server.stop();
        let insisting = without(call).argument("--engine").argument("io_uring");
        let Err(Refusal { status, output }) = insisting.try_start() else {
            panic!("it started");
        };
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(output.contains("the kernel refuses io_uring"), "{output}");
    }
}
