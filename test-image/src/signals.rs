//! SIGTERM and SIGINT end it, with 0, unless it was told otherwise. A first process has to see to that itself: the kernel
//! drops what it does not attend to.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::say;
use crate::state::State;

/// Attends to signals from now on. To be called before any other thread is made, which inherit what is blocked.
pub(crate) fn attend(state: &Arc<State>) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by the first call and used by the others; no pointer outlives them.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
        set.assume_init()
    };
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are to values that outlive the call.
            if unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {
                continue;
            }
            let name = if signal == libc::SIGTERM { "SIGTERM" } else { "SIGINT" };
            if state.ignores_term.load(Ordering::Relaxed) {
                say(&format!("ignores {name}"));
                continue;
            }
            let seconds = state.term_takes.load(Ordering::Relaxed);
            say(&format!("ends by {name} in {seconds} s"));
            std::thread::sleep(Duration::from_secs(seconds));
            std::process::exit(0);
        }
    });
}
