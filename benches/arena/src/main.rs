//! `arena`: serves until SIGTERM, with a shard on every core it may use.

use std::process::ExitCode;

use corelane::Server;
use corelane::server::ShutdownSignals;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("arena: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let settings = arena::Settings::read(|name| std::env::var(name).ok())?;
    let signals = ShutdownSignals::install()?;
    let server = Server::new(arena::build(&settings)?).listen(settings.listen);
    let server = server.start()?;
    if let Some(why) = server.fallback() {
        eprintln!("arena: warning: io_uring is refused, serving on epoll: {why}");
    }
    let (address, shards) = (server.local_addr(), server.shards().len());
    println!("arena: {shards} shards on http://{address}");
    signals.run(server);
    Ok(())
}
