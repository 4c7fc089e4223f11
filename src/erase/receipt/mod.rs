//! Receipts: what an auditor can check, signed and chained.
