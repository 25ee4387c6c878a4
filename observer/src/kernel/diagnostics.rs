//! Writes the programs' diagnostics to the log.

use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Forwards diagnostics until the task is cancelled.
pub async fn forward<T: log::Log>(logger: EbpfLogger<T>) {
    // SAFETY: the logger owns the ring buffer's descriptor and keeps it open until it is dropped.
    let mut logger = match unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) } {
        Ok(logger) => logger,
        Err(error) => {
            log::debug!("cannot read the programs' diagnostics: {error}");
            return;
        }
    };
    loop {
        let Ok(mut ready) = logger.readable_mut().await else { return };
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}
