//! The one integration-test binary: what holds for the whole rather than for one crate.

mod adoption;
mod cases;
mod check;
mod commits;

mod crash;
mod demo;
mod faults;
mod folders;
mod golden;
mod instances;
mod kafka;
mod quarantine;
mod seam;
mod search_path;
mod shop;
mod sim;
mod stores;
mod support;
mod tidy;
mod topics;
