"""What a carrier tells by itself: an HTTP request on loopback, behind the operator's TLS proxy."""
