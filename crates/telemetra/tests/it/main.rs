//! The one integration-test binary: what holds for the whole rather than for one crate.

mod adoption;
mod commits;
mod crash;
mod faults;
mod folders;
mod golden;
mod instances;
mod seam;
mod shop;
mod sim;
mod stores;
mod support;
mod tidy;
