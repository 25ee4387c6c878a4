//! The programs' rare diagnostics, on their way into the user's log.

use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Hands over what the programs said, as long as the source lives.
pub async fn forward<T: log::Log>(logger: EbpfLogger<T>) {
    // SAFETY: the logger owns the ring buffer's descriptor, and keeps it open as long as it lives.
    let mut logger = match unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) } {
        Ok(logger) => logger,
        Err(error) => {
            log::debug!("the programs' diagnostics cannot be read: {error}");
            return;
        }
    };
    loop {
        let Ok(mut ready) = logger.readable_mut().await else { return };
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}
