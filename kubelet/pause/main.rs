//! The process that holds a pod's namespaces open while its containers come and go.
//!
//! It does nothing until SIGINT or SIGTERM ends it, with 0. With a shared process namespace it is the pod's first
//! process, so it reaps what others leave behind. Nothing is linked to it, not even the C library: `build.rs` compiles it
//! to some hundred bytes, which the agent carries along.
//!
//! The signals are blocked and waited for, rather than handled: the kernel drops signals to a first process that neither
//! handles nor blocks them.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("the pause program knows the system calls of Linux on x86_64 and aarch64 only");

const SIGINT: u64 = 2;
const SIGTERM: u64 = 15;
const SIGCHLD: u64 = 17;
/// `SIG_BLOCK`: add to what is blocked.
const BLOCK: usize = 0;
/// `WNOHANG`: do not wait for a child that still runs.
const NO_WAITING: usize = 1;
/// Any child.
const ANY: usize = usize::MAX;

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub(crate) const SIGPROCMASK: usize = 14;
    pub(crate) const SIGTIMEDWAIT: usize = 128;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const EXIT_GROUP: usize = 231;
}

/// Numbers of system calls.
#[cfg(target_arch = "aarch64")]
mod number {
    pub(crate) const SIGPROCMASK: usize = 135;
    pub(crate) const SIGTIMEDWAIT: usize = 137;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const EXIT_GROUP: usize = 94;
}

// Where the kernel begins: a stack, and no caller to return to.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, xzr", "bl {main}", main = sym main);

extern "C" fn main() -> ! {
    let awaited: u64 = [SIGINT, SIGTERM, SIGCHLD].iter().fold(0, |set, signal| set | 1 << (signal - 1));
    let set = &raw const awaited as usize;
    let bytes = size_of::<u64>();
    // SAFETY: `set` points to a signal set of `bytes` bytes that outlives every call; the other pointers may be null.
    unsafe { call(number::SIGPROCMASK, [BLOCK, set, 0, bytes]) };
    loop {
        // SAFETY: as above.
        let signal = unsafe { call(number::SIGTIMEDWAIT, [set, 0, 0, bytes]) };
        match u64::try_from(signal) {
            // SAFETY: no pointer is passed on.
            Ok(SIGCHLD) => while unsafe { call(number::WAIT4, [ANY, 0, NO_WAITING, 0]) } > 0 {},
            Ok(_) => exit(0),
            // Interrupted, by a debugger for one.
            Err(_) => {}
        }
    }
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: no pointer is passed.
        unsafe { call(number::EXIT_GROUP, [code, 0, 0, 0]) };
    }
}

/// A system call: what it gives, or the negated number of the error.
///
/// # Safety
///
/// Whatever the call takes for a pointer must be good for what it does with it.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, [first, second, third, fourth]: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the kernel keeps every register but these; what the pointers must be, the caller knows.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call: what it gives, or the negated number of the error.
///
/// # Safety
///
/// Whatever the call takes for a pointer must be good for what it does with it.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, [first, second, third, fourth]: [usize; 4]) -> isize {
    let result: isize;
    // SAFETY: the kernel keeps every register but these; what the pointers must be, the caller knows.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first as isize => result,
            in("x1") second, in("x2") third, in("x3") fourth,
            options(nostack),
        );
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
