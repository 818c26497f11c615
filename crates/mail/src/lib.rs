//! Reported e-mails, taken apart.
