"""Adapters for other libraries, one module for each library. A program imports those that it uses; nothing else of the
package does. They use the public API, and the folders below."""
