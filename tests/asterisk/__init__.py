"""Tests on a real Asterisk, with SIPp as carrier, mobile and phone."""
