// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title The devnet's token: a plain ERC-20 with EIP-2612 permits
/// @notice Of no value. A real deployment names a token that exists (P1.2).
contract HeldToken is ERC20, ERC20Permit {
    /// @param supply minted once to the deployer, in the smallest unit (18 decimals)
    constructor(uint256 supply) ERC20("Held", "HELD") ERC20Permit("Held") {
        _mint(msg.sender, supply);
    }
}
