"""From a document to a plan: everything found once that a run looks up."""
