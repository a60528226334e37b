"""Sessions and comparisons sent to an experiment tracker."""
