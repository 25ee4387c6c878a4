//! Shared by the kernel and the user side.
#![no_std]
