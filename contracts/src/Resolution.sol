// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Appeals} from "./Appeals.sol";
import {Demands} from "./Demands.sol";
import {Rounds} from "./Rounds.sol";
import {Seats} from "./Seats.sol";
import {Settlement} from "./Settlement.sol";

/// @title Resolution: the second half of Market's code, run by delegatecall on Market's storage
/// @dev One contract may have 24,576 bytes (EIP-170); demands, deadlines, appeals and settlement live here. Market creates it
/// in its constructor and can never name another. Called directly it finds no job, holds no money and calls nobody.
contract Resolution is EIP712, Demands, Appeals, Settlement {
    constructor(uint96 seatStake, uint40 exitDelay, address beacon)
        EIP712("Heldout", "1")
        Seats(seatStake, exitDelay)
        Rounds(beacon)
    {}
}
