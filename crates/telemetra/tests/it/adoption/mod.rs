//! The tables of the old job on PostgreSQL, adopted: rows, values, rights and partitions stay, and what is in the way is
//! refused whole, with SQL that clears it.
//!
//! | file | holds |
//! |---|---|
//! | `old` | the tables as the old job made them, and what is done to them |
//! | `values` | every value is what it was |
//! | `partitions` | partitioned tables |
//! | `refusals` | all that is in the way |
//! | `restored` | what clearing the way takes away comes back, or its text is shown |
//! | `start` | who makes the tables, and who may |
//! | `roles` | least privilege |
//! | `beside` | the real binary beside old rows |
//! | `cutover` | it takes over from the old job while events flow |

mod beside;
mod commerce;
mod cutover;
mod old;
mod partitions;
mod refusals;
mod restored;
mod roles;
mod start;
mod values;
